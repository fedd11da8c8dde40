"""Mathematics in pages as TeX."""


def tex_for_math(page):
    return page
