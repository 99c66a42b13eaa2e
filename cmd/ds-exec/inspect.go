package main

import (
	"context"

	"docksmith/lib/cli"
)

func inspectCommand() *cli.Command {
	return &cli.Command{
		Name: "inspect", Args: "CONTAINER...",
		Short: "Print the records of containers as lines of JSON.",
		Long:  "A record has the members of the OCI's state, and more: docksmith-container(5).",
		Run: func(_ context.Context, stdio *cli.IO, args []string) error {
			list, err := findAll(stdio, args)
			if err != nil {
				return err
			}
			for _, c := range list {
				s, err := c.State()
				if err != nil {
					return err
				}
				if err := stdio.JSON(&s); err != nil {
					return err
				}
			}
			return nil
		},
	}
}
