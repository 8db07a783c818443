"""The local stack: Triton and both services as background processes of this machine, no Docker.

``python -m pixelprobe_deploy.local up|down|status``; the CLI's commands of these names run it as a
subprocess. It starts the services as programs and imports nothing of them.

commands.py   the command line
stack.py      up, down and status
starting.py   one part after another, each once the one before is healthy; or all stopped
parts.py      what each of the three is: command, addresses, log, when it is healthy
served.py     which models there are to serve: those that ship, and the zoo folder's
state.py      stack.json, the record of what runs, and the lock
processes.py  processes that are recognised again and stopped with all their children
"""
