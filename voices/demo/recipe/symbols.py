"""The JP-Extra input alphabet (112 symbols in the order of the models' embedding) and the time grid."""

SYMBOLS = (
    "_ AA E EE En N OO V a a: aa ae ah ai an ang ao aw ay b by c ch d dh dy e e: eh ei en eng er ey f g "
    "gy h hh hy i i0 i: ia ian iang iao ie ih in ing iong ir iu iy j jh k ky l m my n ng ny o o: ong ou "
    "ow oy p py q r ry s sh t th ts ty u u: ua uai uan uang uh ui un uo uw v van ve vn w x y z zh zy "
    "! ? … , . ' - SP UNK"
).split()
assert len(SYMBOLS) == 112
ID = {symbol: index for index, symbol in enumerate(SYMBOLS)}

PAD = "_"
PUNCTUATION = "!?,.'-"
NUCLEI = frozenset("aiueoNq")  # what ends a mora: a vowel, the moraic nasal, the first half of a geminate
SILENT = frozenset({ID[PAD], *(ID[p] for p in PUNCTUATION), ID["…"]})

TONE_OFFSET = 6  # Japanese tones 0 and 1 are rows 6 and 7 of the tone embedding
LANGUAGE = 1

RATE = 44_100
FRAME = 512  # samples of one frame, the hop of SBV2's decoder
HALF = 256  # the acoustic parameters have two rows a frame


def phones_of(ids):
    """The ids without silence and punctuation: what two spellings of one sentence have in common."""
    return tuple(int(i) for i in ids if int(i) not in SILENT)
