"""Bad input by the thousand: `python -m tests.fuzz --files 5000 --pictures 500`.

bases.py      the good files that are damaged
bytewise.py   damage to bytes, whatever they mean
structure.py  damage to a model's protos
absurd.py     models that are small as files and enormous as tensors
files.py      model files: which damage a number stands for
pictures.py   pictures, arrays, weights and places, likewise
case.py       what one case is, and which kinds of cases there are
worker.py     a process that runs cases through the command line's entry point
pool.py       starts workers, and ends them at a limit of time or of memory
table.py      how each ended, and the table of it
"""
