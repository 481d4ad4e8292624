"""xenstore: wire codec, store, server skins and the asyncio client."""
