"""Pictures and captions as people have them, indexed once, in an order that resumes exactly.

    layouts     which files of a folder hold what, in pieces
    readers     the rows of a piece: tar, parquet, lists, pictures beside texts
    index       where each picture is and what its captions are, on disk
    captions    which caption of a picture a sample shows
    conditions  which rows training may use
    selection   those rows, block by block
    order       which pair sample n is
    pictures    pictures opened, turned, cut to a shape
    pairs       pictures and captions by number

`python -m ella.data index FOLDER` makes an index. Nothing here needs torch.
"""
