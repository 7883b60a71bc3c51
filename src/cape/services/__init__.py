"""Services: background processes of an environment, and the one supervisor that owns them.

Owns what a service is (`definition`), the supervisor process (`supervisor`, `running`, `readiness`, `logs`,
`ports`), talking to it (`client`), ending what a killed one left (`sweeping`), and units for another
supervisor (`systemd`). It is told what to run as plain values; nothing here reads a manifest's text, a
lock or the store, and nothing prints.

The modules that the supervisor imports are kept light on purpose: they use no dataclasses, no typing at run
time, no subprocess and no asyncio. The supervisor of a project lives for days beside its services.
"""
