"""config.yml and the environment become frozen, typed sections; every problem is reported at once.

Knows no section by name: each package declares its own in its ``settings.py``
(:mod:`longshore.config.section`), and :func:`longshore.config.load.load` judges those it is given.
"""
