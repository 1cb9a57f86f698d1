"""Links to results, made anew whenever somebody asks for a task."""
