"""The local stack: Triton and both services as background processes of this machine, no Docker.

``python -m pixelprobe_deploy.local up|down|status``; the CLI's commands of these names run it as a
subprocess. It starts the services as programs and imports nothing of them.

commands.py   the command line
stack.py      up, down and status
starting.py   starts parts one after another, each when the one before it is healthy; stops parts
parts.py      the three parts: command, addresses, health, time limits
ports.py      the five ports, and their checks
state.py      stack.json, the record of what runs, and the lock
processes.py  background processes, recognised by a later run and stopped with all their children
health.py     health checks
interrupts.py signals, checked at safe points
"""
