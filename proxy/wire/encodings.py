"""PostgreSQL's client encodings as Python codecs."""

from __future__ import annotations

import codecs
from typing import Final

_CODECS: Final = {
    "UTF8": "utf-8",
    "UNICODE": "utf-8",
    "KOI8R": "koi8_r",
    "KOI8": "koi8_r",
    "KOI8U": "koi8_u",
    "EUC_JP": "euc_jp",
    "EUC_JIS_2004": "euc_jis_2004",
    "EUC_KR": "euc_kr",
    "EUC_CN": "gb2312",
    "SJIS": "cp932",
    "SHIFT_JIS_2004": "shift_jis_2004",
    "BIG5": "cp950",
    "GBK": "gbk",
    "GB18030": "gb18030",
    "UHC": "cp949",
    "JOHAB": "johab",
    "WIN866": "cp866",
    "WIN874": "cp874",
    **{f"WIN{page}": f"cp{page}" for page in range(1250, 1259)},
    **{f"ISO_8859_{part}": f"iso8859_{part}" for part in range(5, 9)},
    "LATIN5": "iso8859_9",
    "LATIN6": "iso8859_10",
    "LATIN7": "iso8859_13",
    "LATIN8": "iso8859_14",
    "LATIN9": "iso8859_15",
    "LATIN10": "iso8859_16",
    **{f"LATIN{part}": f"iso8859_{part}" for part in range(1, 5)},
}


class Undecodable(ValueError):
    """The bytes are not text in that encoding, or Python knows no codec for it."""


def codec_of(encoding: str) -> str | None:
    """The Python codec of a `client_encoding`; None for SQL_ASCII and those that Python does not know."""
    return _CODECS.get(encoding.upper().replace("-", ""))


def decode(data: bytes, codec: str | None) -> str:
    """Text that encodes to exactly these bytes again; pure ASCII is the same in every encoding.

    Raises:
        Undecodable: it is not pure ASCII, and the codec is None or does not give the same bytes back.
    """
    if data.isascii():
        return data.decode("ascii")
    if codec is None:
        raise Undecodable
    try:
        text = data.decode(codec)
        if codec != "utf-8" and text.encode(codec) != data:
            raise Undecodable
    except UnicodeError as error:
        raise Undecodable from error
    return text


def encode(text: str, codec: str | None) -> bytes:
    """The reverse of `decode`.

    Raises:
        Undecodable: the text has characters that the encoding has not.
    """
    try:
        return text.encode(codec or "ascii")
    except UnicodeError as error:
        raise Undecodable from error


for _codec in set(_CODECS.values()):
    codecs.lookup(_codec)  # a misspelt name would otherwise only show with a client that uses it
