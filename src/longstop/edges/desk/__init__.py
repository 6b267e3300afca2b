"""The operators' desk: all that people look at and decide, as rows, with two ways to it.

`StoreDesk` has the store itself before it, `RemoteDesk` asks a gateway's API. The command line and the tools of an
assistant (`edges/mcp`) know only `Desk`, and what they write is made from its rows: so it is the same both ways.
"""
