"""Paths and queries that programs rewrite, although a host may have signed their bytes."""

import string

_PUNCTUATION = "".join(c for c in string.punctuation if c not in "#?\\")

AS_GIVEN = [
    "/",
    "/song.wav",
    "/%7euser/%7E",
    "/a%2fb%2Fc",
    "/%41%42",
    "/%2e%2e/%2E",
    "/%c3%a9",
    "/%00",
    "/a%0d%0aHost:%20inside.test",
    "/%",
    "/100%.wav",
    "/%zz%4",
    "/%25%2525",
    "/[2020]/{a}",
    "/x/../y",
    "/./x/.",
    "/..",
    "//a//b//",
    "/a;b=c;d",
    "/a|b^c`d",
    "/'single'/\"double\"",
    "/<a>",
    "/a,b:c@d!e$f&g(h)*i+j=k~l",
    "/http://other.test/a",
    "/x?",
    "/x??",
    "/?",
    "/x?&&a=&=b",
    "/x?a=[1]&b={2}|'3'\"4\"",
    "/x?%7e=%2f&sig=a%2Bb%3d",
    "/x?a+b",
    "/x?next=http://u:p@10.0.0.1/../",
    f"/{_PUNCTUATION}?{_PUNCTUATION}?",
]
