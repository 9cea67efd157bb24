"""`python -m proxy` is the command `pgjanus`."""

from proxy.cli import main

main(prog_name="pgjanus")
