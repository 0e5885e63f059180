"""Writes and reads a file by fsspec's WebHDFS, with Kerberos.

Usage: fsspec_webhdfs.py HOST PORT PATH SIZE. Writes SIZE bytes in three pieces of the same file
object, each sent when it says so on standard output ("piece 1" ...), and waits for a line on standard
input before the next. Then it reads the file back; "same" is its last word.
"""

import sys

import fsspec

host, port, path, size = sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
content = bytes(n * 31 % 251 for n in range(size))
pieces = [content[: size // 3], content[size // 3 : 2 * size // 3], content[2 * size // 3 :]]

fs = fsspec.filesystem("webhdfs", host=host, port=port, kerberos=True)
# a block is sent as soon as it is full
with fs.open(path, "wb", block_size=size // 4) as file:
    for number, piece in enumerate(pieces, 1):
        file.write(piece)
        print(f"piece {number}", flush=True)
        if not sys.stdin.readline():
            sys.exit("nobody says to go on")

found = fs.info(path)["size"]
if found != size:
    sys.exit(f"{found} of {size} bytes arrived")
with fs.open(path, "rb") as file:
    read = file.read()
print("same" if read == content else "different", flush=True)
