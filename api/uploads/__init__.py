"""Takes songs from users' disks into the bucket: through the api in a form, or by presigned URLs."""
