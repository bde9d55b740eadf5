"""The parts of picture files that contain texts: chunks, segments and EXIF blocks.

Everything here reads files of unknown origin. Sizes and numbers of parts are bounded, a damaged
part ends or shortens the result, and nothing is decoded as pixels.
"""
