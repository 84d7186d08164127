"""Figures beside their partners, from one run: ``python -m tests.bench`` (``make bench``)."""
