"""Spellings of one thing: abbreviations of states and countries, and words that only frame a claim.

Owns constants and the question about them. Nothing here weighs anything.
"""

from __future__ import annotations

from cape.answers.words import listed, stem

_SHORT = """
    AL Alabama|AK Alaska|AZ Arizona|AR Arkansas|CA California|CO Colorado|CT Connecticut|DE Delaware
    FL Florida
    GA Georgia|HI Hawaii|ID Idaho|IL Illinois|IN Indiana|IA Iowa|KS Kansas|KY Kentucky|LA Louisiana|ME Maine
    MD Maryland|MA Massachusetts|MI Michigan|MN Minnesota|MS Mississippi|MO Missouri|MT Montana|NE Nebraska
    NV Nevada|NH Hampshire|NJ Jersey|NM Mexico|NY York|NC Carolina|ND Dakota|OH Ohio|OK Oklahoma|OR Oregon
    PA Pennsylvania|RI Rhode|SC Carolina|SD Dakota|TN Tennessee|TX Texas|UT Utah|VT Vermont|VA Virginia
    WA Washington|WV Virginia|WI Wisconsin|WY Wyoming|AB Alberta|BC Columbia|ON Ontario|QC Quebec
    US America|USA America|UK Britain|UK Kingdom|US States|USA States|UN Nations|EU European|EU Union
    St Street|St Saint|Ave Avenue|Blvd Boulevard|Rd Road|Dr Drive|Dr Doctor|Mt Mount|Ln Lane|Hwy Highway
    Prof Professor|Gov Governor|Sen Senator|Gen General|Lt Lieutenant|Capt Captain|Sgt Sergeant|Jr Junior
    N North|S South|E East|W West|NE Northeast|NW Northwest|SE Southeast|SW Southwest|Pkwy Parkway|Pl Place
    Sq Square|Ct Court|Cir Circle|Ste Suite|Ft Fort|Bldg Building|TV Television|TVs Television|TVs TV
    Inc Incorporated|Corp Corporation|Ltd Limited|Co Company|Univ University|Dept Department|Assn Association
"""
_OTHER: dict[str, frozenset[str]] = {}
for _pair in _SHORT.replace("\n", "|").split("|"):
    if len(_pair.split()) == 2:
        _one, _two = (part.casefold() for part in _pair.split())
        _OTHER[_one] = _OTHER.get(_one, frozenset()) | {stem(_two)}
        _OTHER[_two] = _OTHER.get(_two, frozenset()) | {stem(_one)}

FRAMING = frozenset(
    stem(word)
    for word in listed(
        """
        according account additional additionally also answer article author based business claim comment
        conclude conclusion consequently context customer customers data describe described despite detail
        details discuss discussed document due establishment evidence example explain explained feature
        features
        following furthermore further generally however including include indicate information item like
        likewise
        locate located mention mentioned meanwhile moreover note noted notably offer offers operate operates
        overall passage passages people place point provide provided rating ratings record refer report
        reported
        reportedly respectively result review reviewer reviewers reviews said say says source specifically
        specific state stated statement story such suggest suggested summary text therefore thus topic
        user users various variety well while within range express expressed
        """
    )
)
"""Stems of words with which an answer speaks about its evidence: new ones tell little."""


def other_spellings(word: str) -> frozenset[str]:
    """The stems of a word's abbreviations, or of what it abbreviates; empty for most words."""
    return _OTHER.get(word.casefold().strip("."), frozenset())
