"""A folder of backups: files once, and for each backup a snapshot of the database with the list of its files.

    files/                   as in the media folder; added to, never changed
    files.db                 size and hashes of them, so that what is there is not read again
    snapshots/<moment>/      database, files.jsonl, keys, vectors, manifest.json; named so at the end

The snapshot comes first, the files after it: while that lasts, no file is taken away (entities/holding.py).
"""
