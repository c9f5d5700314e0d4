"""The pages of Django's admin on which people are named, put together and taken apart.

Server-rendered. Every change is a POST that calls one operation of intelligence/people, which can be undone.
"""
