"""What `bench/beside.py` runs: the answer that is streamed, the ways to show it, what is measured in the page."""
