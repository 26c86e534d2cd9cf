"""How fast a crate is: contestants in turns, in one run, judged by ratios."""
