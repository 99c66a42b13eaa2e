# Completion of ds-parse for fish. Written by scripts/gen-completions: change the program instead.
complete -c ds-parse -f
complete -c ds-parse -s t -l target -x -d 'plan up to STAGE, a name or a number, and leave out the rest'
complete -c ds-parse -l strict -d 'read the dialect of a Docksmithfile: CMD must be a JSON array'
complete -c ds-parse -l name -r -F -d 'call the input NAME in messages and in the plan'
complete -c ds-parse -s h -l help -d 'show this help'
complete -c ds-parse -l version -d 'show the version'
complete -c ds-parse -F
