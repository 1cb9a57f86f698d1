"""Songs in, stems out: a download is fetched, judged, decoded to the mix, and stems are written."""
