"""What strangers may send, made up: inputs from a source of choices, and what has to hold of each.

    inputs       packets, messages, logins and statements; valid ones, and ones that are broken in places
    properties   what the proxy's pure parts make of an input: nothing crashes, hangs or keeps more than it may
    __main__     `make fuzz-wire`: a million seeded inputs
    guided       `make fuzz-coverage`: the same inputs, from choices that reach new branches

An input is made by a `random.Random`, so a run's seed and a number make it again; the guided fuzzer's `Random` takes
its bits from the bytes that the fuzzer hands over.
"""
