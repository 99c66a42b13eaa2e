package main

import (
	"errors"
	"os"

	"docksmith/lib/cli"
	"docksmith/lib/jobs"
)

// openJobs makes the slots that steps are executed in: those of -j, else those of
// the make that runs us. Our children are no clients of its jobserver: neither
// descriptors nor flags reach them.
func (o *options) openJobs(s *cli.IO) (*jobs.Slots, error) {
	most, flags := o.jobs, os.Getenv("MAKEFLAGS")
	if o.step != "" {
		most, flags = 1, "" // it takes the place in which make started us
	}
	slots, warning := jobs.Open(most, flags)
	if warning != "" {
		s.Warnf("%s", warning)
	}
	return slots, errors.Join(os.Unsetenv("MAKEFLAGS"), os.Unsetenv("MFLAGS"))
}

func (o *options) checkJobs(s *cli.IO) error {
	if s.Flags.Changed("jobs") && o.jobs < 1 {
		return cli.Usagef("-j %d: want at least 1", o.jobs)
	}
	return nil
}
