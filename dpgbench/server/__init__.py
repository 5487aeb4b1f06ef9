"""A judge as a server: pictures come over HTTP, answers and scores go back.

    limits      what one request may cost, and how a body is read within it
    schema      JSON and multipart bodies to requests, each field checked
    pictures    bytes of pictures to tiles
    batching    tiles of all requests together to the judge, in one thread
    service     a request to a reply: the questions, the judge, the rules
    metrics     counters for Prometheus
    app         paths, status codes, errors
    protocol    patience with clients that send slowly, or never
    process     the process: socket, loading, signals, the orderly end

Scores are computed where the command line computes them (`dpgbench.domain.score`). Nothing here
opens a path or an address that a client names. Only `dpgbench serve` imports these modules.
"""
