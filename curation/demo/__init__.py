"""The embedded demo crawl: original web pages with their gold text, a catalogue, and a WARC builder.

``pages/`` holds hand-written pages as readable UTF-8, ``gold/`` the main text a perfect extractor would return,
``crawl.toml`` says where each page goes, how it is encoded and what should become of it, ``blocklists/`` is a tiny
UT1-style folder, and :mod:`curation.demo.build_warc` turns all of it into real WARC files.
"""
