"""Names the HTML kernels know: tags with what they do to a block, words of class names with what they tell, stop words.

Sets of names are open-address tables of FNV-1a hashes, so that a kernel looks a name up without making a string.

Source: ours; behaviour of tags after the HTML standard (whatwg), 13.2.6; kinds of class names after Readability.js and
Kohlschütter et al., WSDM 2010.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from curation.text.compiled import leaf

FNV_START = np.uint64(0xCBF29CE484222325)
FNV_PRIME = np.uint64(0x100000001B3)


def fnv(name: bytes) -> int:
    """FNV-1a of `name`, 64 bits."""
    value = int(FNV_START)
    for byte in name:
        value = (value ^ byte) * int(FNV_PRIME) & (1 << 64) - 1
    return value


def hash_table(values: Mapping[bytes, int], bits: int) -> tuple[np.ndarray, np.ndarray]:
    """`keys` uint64 and `found` int32, both [2**bits]: linear probing, key 0 is an empty slot."""
    if len(values) * 2 > 1 << bits:
        raise ValueError(f"{len(values)} names do not fit a table of 2**{bits} slots")
    keys, found = np.zeros(1 << bits, np.uint64), np.zeros(1 << bits, np.int32)
    mask = (1 << bits) - 1
    for name, value in values.items():
        key = fnv(name)
        slot = key & mask
        while keys[slot] and int(keys[slot]) != key:
            slot = slot + 1 & mask
        keys[slot], found[slot] = key, value
    return keys, found


@leaf
def look_up(keys, found, key):
    """The value of a hash in a table of `hash_table`, 0 when it is not there."""
    mask = np.uint64(len(keys) - 1)
    slot = key & mask
    while keys[slot] != 0:
        if keys[slot] == key:
            return found[slot]
        slot = (slot + np.uint64(1)) & mask
    return np.int32(0)


# What a tag does. BLOCK: its start and end are ends of blocks, and it is an element of the tree. RAW: its content is no
# markup and no text. SKIPPED: its content is no text. ENDS_P: its start closes an open paragraph.
BLOCK, RAW, SKIPPED, ENDS_P = 1, 2, 4, 8

# What every block within an element of a tag inherits.
FLAGS = ("article", "main", "nav", "header", "footer", "aside", "form", "table", "list", "figure", "blockquote", "heading",
         "button", "hidden", "pre", "paragraph")  # fmt: skip
ARTICLE, MAIN, NAV, HEADER, FOOTER, ASIDE, FORM, TABLE, LIST, FIGURE, QUOTE, HEADING, BUTTON, HIDDEN, PRE, PARAGRAPH = (
    1 << i for i in range(len(FLAGS))
)

_PLAIN_BLOCKS = (
    "html head body div section main article nav header footer aside address center details summary dialog dl dt dd "
)
_PLAIN_BLOCKS += (
    "fieldset legend figure figcaption form hgroup p pre blockquote h1 h2 h3 h4 h5 h6 ul ol li menu dir button label "
)
_PLAIN_BLOCKS += "table caption thead tbody tfoot tr td th search noframes listing plaintext unknown-block"
_SKIPPED = "svg select object video audio canvas map template noscript iframe applet datalist math"
_RAW = "script style textarea title"
_INLINE = "a br hr img span b i em strong code input wbr"
# The model knows tags by these numbers: train anew after a change.
TAG_NAMES = ("", *_PLAIN_BLOCKS.split(), *_SKIPPED.split(), *_RAW.split(), *_INLINE.split())
TAG = {name: i for i, name in enumerate(TAG_NAMES)}
TAG_KEYS, TAG_IDS = hash_table({name.encode(): i for i, name in enumerate(TAG_NAMES) if name}, 9)

_NO_END_OF_P = {"html", "head", "body", "button", "label", "td", "th", "tr", "tbody", "thead", "tfoot", "caption"}
_FLAG_OF = {
    "article": ARTICLE, "main": MAIN, "nav": NAV, "header": HEADER, "footer": FOOTER, "aside": ASIDE, "form": FORM,
    "table": TABLE, "ul": LIST, "ol": LIST, "dl": LIST, "menu": LIST | NAV, "dir": LIST, "figure": FIGURE, "figcaption": FIGURE,
    "blockquote": QUOTE, "button": BUTTON, "label": FORM, "fieldset": FORM, "pre": PRE, "listing": PRE, "plaintext": PRE,
    "h1": HEADING, "h2": HEADING, "h3": HEADING, "h4": HEADING, "h5": HEADING, "h6": HEADING, "p": PARAGRAPH,
}  # fmt: skip


def _actions() -> np.ndarray:
    actions = np.zeros(len(TAG_NAMES), np.int32)
    for name in _PLAIN_BLOCKS.split():
        actions[TAG[name]] = BLOCK | (0 if name in _NO_END_OF_P else ENDS_P)
    for name in _SKIPPED.split():
        actions[TAG[name]] = SKIPPED
    for name in _RAW.split():
        actions[TAG[name]] = RAW | SKIPPED
    return actions


ACTIONS = _actions()
TAG_FLAGS = np.array([_FLAG_OF.get(name, 0) for name in TAG_NAMES], np.int32)

A, BR, HR, IMG = TAG["a"], TAG["br"], TAG["hr"], TAG["img"]
P, LI, UL, OL, MENU, DIR = TAG["p"], TAG["li"], TAG["ul"], TAG["ol"], TAG["menu"], TAG["dir"]
DL, DT, DD = TAG["dl"], TAG["dt"], TAG["dd"]
TABLE_TAG, TR, TD, TH, CAPTION = TAG["table"], TAG["tr"], TAG["td"], TAG["th"], TAG["caption"]
TBODY, THEAD, TFOOT = TAG["tbody"], TAG["thead"], TAG["tfoot"]
HTML, HEAD, BODY, TITLE = TAG["html"], TAG["head"], TAG["body"], TAG["title"]
SCRIPT, STYLE, H1, H6 = TAG["script"], TAG["style"], TAG["h1"], TAG["h6"]
UNKNOWN_BLOCK, BUTTON_TAG = TAG["unknown-block"], TAG["button"]
TAGS = len(TAG_NAMES)

KINDS = ("comment", "nav", "footer", "header", "sidebar", "share", "related", "ad", "meta", "content", "form", "tag",
         "caption", "popup")  # fmt: skip
"""What a word of a class, id, role or itemprop tells of an element; bit i of a mask."""
COMMENT_KIND = 1 << KINDS.index("comment")

_KIND_WORDS = {
    "comment": "comment comments commentlist commentary respond response responses reply replies disqus discussion discuss "
    "kommentar kommentare commentaire commentaires comentario comentarios commenti commento reacties livefyre commentthread "
    "commentbody commenttext commentsection commentform",
    "nav": "nav navi navbar navigation menu menubar menus mainmenu submenu breadcrumb breadcrumbs crumb crumbs pagination "
    "pager paging toc skip topnav dropdown tabs tab topbar toolbar subnav megamenu sitenav navigationbar",
    "footer": "footer foot bottom copyright legal imprint impressum colophon disclaimer pagefooter sitefooter fuss",
    "header": "header head masthead banner top logo branding kopf pageheader siteheader hero",
    "sidebar": "sidebar side aside rail widget widgets column right left secondary complementary sidebars rightcolumn "
    "leftcolumn marginal col",
    "share": "share sharing social facebook twitter addthis sharedaddy sharebar follow whatsapp pinterest teilen like likes "
    "addtoany shares socials linkedin",
    "related": "related more recommended recommend recommendations also similar popular trending latest recent teaser teasers "
    "promo most read readmore outbrain taboola next previous prev mehr verwandt suggestions suggested links headlines "
    "crosslinks morenews",
    "ad": "ad ads advert adverts advertisement advertising sponsor sponsored sponsors banner anzeige werbung google dfp "
    "adsense promotion publicidad pub commercial affiliate",
    "meta": "meta byline author date time dateline posted info published timestamp pubdate datetime details autor datum "
    "postmeta entrymeta credits credit source bio authorbox updated",
    "content": "content article post entry body text story main maincontent articlebody postbody entrycontent blog hentry "
    "storybody storytext bodytext posttext copy inhalt artikel contenu contenido texte richtext markdown description wysiwyg "
    "page articletext newstext textbody prose postcontent articlecontent messagebody answer question message",
    "form": "form search login signup subscribe newsletter register input contact button btn abo subscription suche donate "
    "signin field email",
    "tag": "tag tags category categories cat label labels keywords topics topic cats filed tagcloud rubrik",
    "caption": "caption credit figcaption image img photo picture gallery media thumbnail thumb slideshow bild foto video "
    "player slider carousel",
    "popup": "popup modal overlay cookie cookies consent gdpr lightbox hidden hide tooltip notice alert offscreen print "
    "screen reader sr visually dialog paywall invisible",
}


def _kind_table() -> tuple[np.ndarray, np.ndarray]:
    masks: dict[bytes, int] = {}
    for i, kind in enumerate(KINDS):
        for word in _KIND_WORDS[kind].split():
            masks[word.encode()] = masks.get(word.encode(), 0) | 1 << i
    return hash_table(masks, 10)


KIND_KEYS, KIND_MASKS = _kind_table()

_STOP_WORDS = (
    "the of and to in a is that for it as was with be by on not he this are or his from at which but have an had they you "
    "were their one all we can her has there been if more when will would who so no my me your our what about out up them she",
    "der die das und in den von zu mit sich des auf für ist im dem nicht ein eine als auch es an werden aus er hat dass sie "
    "nach wird bei einer um am sind noch wie einem über einen so zum war haben nur oder aber vor zur bis mehr durch man ich",
    "le la les de des du un une et est que qui dans en pour pas sur au avec ne se ce il plus par sont aux ses mais ou nous "
    "vous cette son sa leur été comme elle on je",
    "el los las y que en un una por con para del se su al lo como más pero sus le ya o este sí porque esta son entre cuando",
    "il lo gli e di che è per non una con si da come anche più sono dei della nel alla ha delle del le ma al ci questo",
    "o os as e do da dos das em um uma para com não por mais na no se que foi ao pela pelo ou ser como mas são",
    "de het een en van ik te dat die in is op zijn met voor niet aan er maar om hij ook als dan bij nog uit wordt door naar",
    "och i att det som en på är av för med den till inte om har ett de jag var men sig så kan vi från eller nu när",
    "og i det at er en til på som med for ikke av den de har et om han var kan men så fra vil blir der vi jeg",
    "i w na z do nie się to że jest o jak za od po co ale przez dla oraz są czy tylko już być może tym",
    "ve bir bu da de için ile olarak çok daha en gibi olan kadar ne var ama o sonra",
    "и в не на я что с он а как это по но из у за от так его для же ты мы вы или бы к о все был только",
    "και να το η της του που των τη την στο με για από στην οι τα ο τον δεν θα είναι ότι στη σε ένα μια",
    "a az és hogy nem is egy ez meg csak de volt már mint vagy ha még",
    "a je se v na to že s z do i o ve pro si by ale jako za po jsou od které jsem",
    "si in de la cu a nu pe este o ca un din care mai sa pentru au fi",
    "yang dan di itu dengan untuk tidak ini dari dalam akan pada juga ke ada",
    "і в на не що з до у та як це за від про але",
)


def _stop_table(words: Iterable[str]) -> tuple[np.ndarray, np.ndarray]:
    return hash_table({word.encode(): 1 for line in words for word in line.split()}, 11)


STOP_KEYS, STOP_FOUND = _stop_table(_STOP_WORDS)
STOP_BYTES = 12
"""No stop word is longer."""
