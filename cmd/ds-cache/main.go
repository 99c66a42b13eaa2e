// Ds-cache shows and edits what builds may reuse: keys, the pre-images they
// stand for, the records of what steps gave, counters and histories.
package main

import (
	"errors"
	"io/fs"
	"path/filepath"

	"docksmith/lib/cache"
	"docksmith/lib/cli"
)

func main() {
	cli.Main(&cli.Command{
		Name:  "ds-cache",
		Short: "Show and edit what builds may reuse: keys, records, histories and counters.",
		Long: `A KEY is what "ds-cache key" prints, or at least six of its digits.
The cache is in $DOCKSMITH_ROOT/cache.
Exit status: 0 done, 1 failed or not there, 2 wrong usage.

    ds-cache stats
    ds-cache ls --json | jq -r 'select(.type == "record" and .seconds > 60) | .key'
    ds-cache show KEY | jq '.components[] | {name, value}'
    ds-cache show KEY | ds-cache key
    ds-cache why app:v1
    ds-cache history app:v1`,
		Commands: []*cli.Command{
			keyCommand(), putCommand(), getCommand(), rmCommand(), lsCommand(), showCommand(),
			whyCommand(), diffCommand(), statsCommand(), historyCommand(), pruneCommand(), mountsCommand(), fetchCommand(),
		},
	})
}

// withCache opens the cache for f.
func withCache(stdio *cli.IO, f func(*cache.Cache) error) error {
	root, err := stdio.Root()
	if err != nil {
		return err
	}
	c, err := cache.Open(filepath.Join(root, "cache"))
	if err != nil {
		return err
	}
	return f(c)
}

// eachKey calls f with every operand, completed.
func eachKey(c *cache.Cache, args []string, f func(key string) error) error {
	if len(args) == 0 {
		return cli.Usagef("name a KEY")
	}
	for _, arg := range args {
		key, err := c.Expand(arg)
		if errors.Is(err, fs.ErrNotExist) {
			err = cli.WithHint(err, `"ds-cache ls" lists the keys with a record`)
		}
		if err != nil {
			return err
		}
		if err := f(key); err != nil {
			return err
		}
	}
	return nil
}

// noOperands refuses them.
func noOperands(args []string) error {
	if len(args) > 0 {
		return cli.Usagef("unexpected operand %q", args[0])
	}
	return nil
}
