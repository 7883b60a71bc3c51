"""What is on the disk after each step of a command that failed there, or was killed there.

`python -m tests.faults --all` goes through every step; the tests take some of each kind.

Which of the forty behaviours that users of such tools rely on is tested where (below `tests/`):

| behaviour | tests |
|---|---|
| 1 to 5, 7, 11: hooks run once, and again after the last; their order and failures | environment/test_hooks |
| 6: references of variables, cycles | manifest/test_includes, environment/test_activation |
| 9, 10, 12: nesting, exact undo, edits of the user stay | environment/test_activation |
| 15: pid, exit code and signals | end_to_end/test_running, launcher/test_launcher |
| 16: state is private | environment/test_generations, services/test_living |
| 17: corrupt state, or of another version | faults/test_states, services/test_living (protocol) |
| 18: project gone while active | faults/test_states, environment/test_hooks, services/test_living |
| 22: accelerators | accelerators/test_machines |
| 24, 25: services | services/* |
| 26: a failed edit leaves manifest and lock | faults/test_steps, end_to_end/test_interruptions |
| 27: text that is not TOML | end_to_end/test_bad_manifests |
| 28: what is up to date is not written, no network | faults/test_states, end_to_end/test_offline |
| 29, 30: edits are all or nothing | end_to_end/test_edits |
| 31, 32: includes | end_to_end/test_composition |
| 33: a dry run changes nothing | end_to_end/test_commands, end_to_end/test_edits |
| 34: collisions | environment/test_realisation |
| 35: generations | end_to_end/test_generations, environment/test_generations |
| 36: places | end_to_end/test_sharing |
| 37, 38: builds | building/test_builds |
| 40: each command without a network | end_to_end/test_offline |
"""
