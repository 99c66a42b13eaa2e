// Ds-layer turns directory trees into layer tars and back.
package main

import (
	"docksmith/lib/cli"
)

func main() {
	cli.Main(&cli.Command{
		Name:  "ds-layer",
		Short: "Turn directory trees into layer tars and back.",
		Long: `LAYER is a layer tar, plain or compressed with gzip, zstd, bzip2 or xz, told by its
first bytes; "-" or nothing is standard input. A layer goes to standard output
unless -o names a file, and is never sent to a terminal unless -o is "-".
Exit status: 0 done, 1 failed, 2 wrong usage.

    ds-layer create rootfs | ds-store add-layer
    ds-layer diff before after | ds-layer list
    ds-layer apply dir layer.tar.gz
    ds-layer cat /etc/passwd base.tar.gz app.tar.gz`,
		Commands: []*cli.Command{
			createCommand(), diffCommand(), applyCommand(), listCommand(), digestCommand(),
			flattenCommand(), catCommand(), wasteCommand(), compressCommand(), closureCommand(),
		},
	})
}
