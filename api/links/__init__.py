"""Links to results, renewed whenever somebody asks."""
