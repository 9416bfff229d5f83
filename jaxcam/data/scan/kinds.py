"""Names for everything that a scan can say about a file, with the words that explain them."""

PROBLEMS = {
    "empty": "has no bytes",
    "truncated": "ends before its pixels do",
    "not an image": "none of JPEG, PNG, WebP, BMP, GIF and TIFF, whatever its name",
    "broken": "starts like an image but cannot be decoded",
    "too large": "a decompression bomb, or more memory than is given to one picture",
    "too slow": "took longer than the time for one file",
    "crashed": "ended the process that decoded it",
    "no access": "cannot be opened or is gone",
    "not a file": "a pipe, a device or a socket",
    "link": "a link that is broken, leads out of the folder, or to a folder",
    "bad name": "a name that is not UTF-8 or has control characters",
}
"""why a file cannot be used -> what that means; such files are moved by `--quarantine`"""

NOTES = {
    "wrong extension": "the name promises another format; it is read by what it is",
    "no extension": "read by what it is",
    "animated": "only the first frame is used",
    "several pages": "only the first is used",
    "CMYK": "converted to RGB without its colour profile",
    "16-bit": "read as 8 bits a channel",
    "alpha": "has an alpha channel; what is transparent is laid over white",
    "palette": "converted to RGB",
    "grey": "one channel, used for all three",
    "rotated": "turned upright as its EXIF orientation says",
    "tiny": "the shorter side is below 32 pixels",
    "huge": "over 16 million pixels",
    "long": "one side is at least 4 times the other",
    "one colour": "nothing to see",
    "end missing": "decodes, but the format's end mark is missing",
    "link": "a link to another file of the folder",
    "odd name": "a name that not every file system takes",
    "same name": "differs from another name only in case",
}
"""what is odd about a file that can be used -> what that means for it"""

LISTED = {
    "hidden": "a hidden or system file, ignored everywhere",
    "outside": "not in a class folder, ignored in training",
}
"""files that are listed and not looked at"""
