"""Lists tars by Python's tarfile: a length of four bytes, little-endian, and the archive on the standard input; a line of JSON
for each on the standard output."""
import io, json, struct, sys, tarfile

BLOCK = 512


def entries(data):
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:", encoding="utf-8", errors="surrogateescape") as archive:
        while (member := archive.next()) is not None:
            yield {
                "name": text(member.name),
                "size": member.size,
                "type": member.type[0],
                "target": text(member.linkname),
            }
        # A header that is none ends the archive without a word.
        if any(data[archive.offset:archive.offset + BLOCK]):
            raise tarfile.ReadError("stopped at byte %d" % archive.offset)


def text(name):
    return name.encode("utf-8", "surrogateescape").hex()


def answer(data):
    try:
        return {"entries": list(entries(data))}
    except Exception as error:
        return {"refused": "%s: %s" % (type(error).__name__, error)}


def main():
    while len(head := sys.stdin.buffer.read(4)) == 4:
        data = sys.stdin.buffer.read(struct.unpack("<I", head)[0])
        print(json.dumps(answer(data)), flush=True)


main()
