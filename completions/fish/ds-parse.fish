# Completion of ds-parse for fish. Written by scripts/gen-completions: change the program instead.
complete -c ds-parse -f
complete -c ds-parse -s t -l target -x -d 'plan up to STAGE, a name or a number, and leave out the rest'
complete -c ds-parse -l strict -d 'read the dialect of a Docksmithfile: CMD must be a JSON array'
complete -c ds-parse -l name -r -F -d 'call the input NAME in messages and in the plan'
complete -c ds-parse -l emit -x -a 'plan make' -d 'write a plan, or a makefile whose targets are the steps: make'
complete -c ds-parse -l check -d 'write what the checks find instead of a plan'
complete -c ds-parse -l format -x -a 'text json sarif' -d 'write findings as text, json or sarif'
complete -c ds-parse -l check-rules -x -d 'use RULES instead of the file\'s check directive, as skip=NAME,NAME or skip=all'
complete -c ds-parse -l build-arg -x -d 'check with this build argument, NAME=VALUE; a lone NAME takes the environment\'s value'
complete -c ds-parse -l context -x -a '(__fish_complete_directories)' -d 'check COPY and ADD against the ignore file of DIR'
complete -c ds-parse -s h -l help -d 'show this help'
complete -c ds-parse -l version -d 'show the version'
complete -c ds-parse -F
