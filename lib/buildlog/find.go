package buildlog

import (
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
)

// Latest names the build that was begun last.
const Latest = "latest"

// minAbbreviation is the fewest digits that may stand for an id or a digest.
const minAbbreviation = 4

// Find gives the build that name stands for: Latest, the beginning of an id,
// or an image, by a name in tags (which name lists in the form of the records)
// or by the beginning of its digest, and then the last build that gave it.
// It is fs.ErrNotExist without one.
func (d *Dir) Find(name string, tags ...string) (*Build, error) {
	list, err := d.List()
	if err != nil {
		return nil, err
	}
	if name == Latest && len(list) > 0 {
		return list[0], nil
	}
	if hex := strings.Trim(name, "0123456789abcdef") == "" && len(name) >= minAbbreviation; hex {
		var found []*Build
		for _, b := range list {
			if strings.HasPrefix(b.ID, name) {
				found = append(found, b)
			}
		}
		if len(found) > 1 {
			return nil, fmt.Errorf("build %s: %d builds begin so", name, len(found))
		}
		if len(found) == 1 {
			return found[0], nil
		}
	}
	for _, b := range list {
		if gave(b, name, tags) {
			return b, nil
		}
	}
	return nil, &notFoundError{name}
}

type notFoundError struct{ name string }

func (e *notFoundError) Error() string { return "build " + e.name + ": not found" }

func (e *notFoundError) Is(target error) bool { return target == fs.ErrNotExist }

// gave reports whether the image is what b built or, if it failed, was to build.
func gave(b *Build, name string, tags []string) bool {
	digits := strings.TrimPrefix(name, "sha256:")
	if len(digits) >= minAbbreviation && strings.HasPrefix(b.Digest, "sha256:"+digits) {
		return true
	}
	return slices.ContainsFunc(tags, func(t string) bool { return slices.Contains(b.Tags, t) })
}

// SplitStep splits "BUILD:STEP" at its last colon. Without a number behind it
// the whole is a build, and the step 0.
func SplitStep(name string) (build string, step int) {
	i := strings.LastIndexByte(name, ':')
	if i < 0 {
		return name, 0
	}
	n, err := strconv.Atoi(name[i+1:])
	if err != nil || n <= 0 {
		return name, 0
	}
	return name[:i], n
}
