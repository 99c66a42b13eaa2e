# Completion of ds-verify for fish. Written by scripts/gen-completions: change the program instead.
complete -c ds-verify -f
complete -c ds-verify -n __fish_use_subcommand -s h -l help -d 'show this help'
complete -c ds-verify -n __fish_use_subcommand -l version -d 'show the version'
complete -c ds-verify -n __fish_use_subcommand -a image -d 'Prove images, in the store or in archives and layouts, from their digests to their layers\' entries.'
complete -c ds-verify -n __fish_use_subcommand -a layer -d 'Prove a layer: one well-formed tar whose entries are safe to apply.'
complete -c ds-verify -n __fish_use_subcommand -a store -d 'Prove the whole store: every blob and every image, and nothing that is nobody\'s.'
complete -c ds-verify -n '__fish_seen_subcommand_from image' -l platform -x -d 'look at the image for OS/ARCH where there are several'
complete -c ds-verify -n '__fish_seen_subcommand_from image' -l json -d 'write JSON lines, closed by {"type":"end"}'
complete -c ds-verify -n '__fish_seen_subcommand_from image' -s h -l help -d 'show this help'
complete -c ds-verify -n '__fish_seen_subcommand_from image' -l version -d 'show the version'
complete -c ds-verify -n '__fish_seen_subcommand_from image' -a '(ds-store ls --null 2>/dev/null | tr \'\\0\' \'\\n\')'
complete -c ds-verify -n '__fish_seen_subcommand_from layer' -l json -d 'write JSON lines, closed by {"type":"end"}'
complete -c ds-verify -n '__fish_seen_subcommand_from layer' -s h -l help -d 'show this help'
complete -c ds-verify -n '__fish_seen_subcommand_from layer' -l version -d 'show the version'
complete -c ds-verify -n '__fish_seen_subcommand_from layer' -F
complete -c ds-verify -n '__fish_seen_subcommand_from store' -l json -d 'write JSON lines, closed by {"type":"end"}'
complete -c ds-verify -n '__fish_seen_subcommand_from store' -s h -l help -d 'show this help'
complete -c ds-verify -n '__fish_seen_subcommand_from store' -l version -d 'show the version'
