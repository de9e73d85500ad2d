"""The streaming loop: one request → events → completion.

Contract (body to come):

    class Stream:                      what Client.stream returns; one call
        __aiter__ → Event one by one   raises the DeepSeekError that ended it (its .completion is the partial)
        batches() → list[Event]        the same, a network read at a time (the fast path; the bridges use it)
        aclose()                       the user's Stop: closes the connection; completion.outcome == "interrupted"
        completion                     when done, also after an error; RuntimeError before
"""
