"""Who is who: what workers make of the vectors of faces. Users decide in intelligence/people.

`deciding` is pure: likenesses in, people out; the benchmark runs the same code. `recogniser` reads and writes
what it goes by, under the lock of people.
"""
