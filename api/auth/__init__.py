"""Who is asking: users, passwords, and what a wrong one costs."""
