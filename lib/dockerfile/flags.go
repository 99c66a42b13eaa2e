package dockerfile

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"docksmith/lib/suggest"
)

type flagKind int

const (
	boolFlag flagKind = iota + 1
	valueFlag
	listFlag // may repeat
)

// flagTable holds the flags of every instruction that has any.
var flagTable = map[Op]map[string]flagKind{
	From: {"platform": valueFlag},
	Add: {"chown": valueFlag, "chmod": valueFlag, "link": boolFlag, "keep-git-dir": boolFlag,
		"checksum": valueFlag, "unpack": boolFlag, "exclude": listFlag},
	Copy: {"from": valueFlag, "chown": valueFlag, "chmod": valueFlag, "link": boolFlag,
		"parents": boolFlag, "exclude": listFlag},
	Run: {"mount": listFlag, "network": valueFlag, "security": valueFlag, "device": listFlag},
	Healthcheck: {"interval": valueFlag, "timeout": valueFlag, "start-period": valueFlag,
		"start-interval": valueFlag, "retries": valueFlag},
}

// parseFlags reads words of the form --name or --name=value.
func (p *parser) parseFlags(in *Instruction, words []string) error {
	if len(words) == 0 {
		return nil
	}
	flags := p.flags.take(len(words))
	for i, word := range words {
		name, value, has := strings.Cut(strings.TrimPrefix(word, "--"), "=")
		kind, err := flagOf(in.Op, name)
		switch {
		case err != nil:
			return err
		case kind == boolFlag && !has:
			value = "true"
		case !has || kind == boolFlag && value == "":
			return fmt.Errorf("%s --%s needs a value", in.Op, name)
		case kind == boolFlag:
			value = strings.ToLower(value)
		}
		flags[i] = Flag{name, value}
	}
	p.extra(in).Flags = flags
	return nil
}

func flagOf(op Op, name string) (flagKind, error) {
	if kind := flagTable[op][name]; kind != 0 {
		return kind, nil
	}
	names := slices.Sorted(maps.Keys(flagTable[op]))
	for i, n := range names {
		names[i] = "--" + n
	}
	return 0, fmt.Errorf("unknown flag %s of %s%s", quoted("--"+name), op, suggest.DidYouMean("--"+name, names))
}

// checkFlags is the part of Validate that looks at the flags.
func (in *Instruction) checkFlags(escape byte) error {
	var seen []string // short: a second one of a name ends the loop
	for _, f := range in.Flags() {
		kind, err := flagOf(in.Op, f.Name)
		switch {
		case err != nil:
			return err
		case kind != listFlag && slices.Contains(seen, f.Name):
			return fmt.Errorf("%s --%s is given twice", in.Op, f.Name)
		case kind == boolFlag && f.Value != "true" && f.Value != "false":
			return fmt.Errorf("%s --%s: %s is neither true nor false", in.Op, f.Name, quoted(f.Value))
		}
		if kind != listFlag {
			seen = append(seen, f.Name)
		}
		if err := checkFlag(in.Op, f, escape); err != nil {
			return fmt.Errorf("%s --%s: %w", in.Op, f.Name, err)
		}
	}
	return nil
}

func checkFlag(op Op, f Flag, escape byte) error {
	switch f.Name {
	case "mount":
		return checkMount(f.Value, escape)
	case "device":
		return checkDevice(f.Value)
	case "network":
		return oneOf(f.Value, "default", "none", "host")
	case "security":
		return oneOf(f.Value, "sandbox", "insecure")
	case "retries":
		if n, err := strconv.ParseInt(f.Value, 10, 32); f.Value != "" && (err != nil || n < 0) {
			return fmt.Errorf("%s is no number of retries", quoted(f.Value))
		}
	case "interval", "timeout", "start-period", "start-interval":
		return checkDuration(f.Value)
	case "platform", "chown", "chmod", "checksum":
		return Expander{escape}.Check(f.Value)
	}
	return nil
}

// checkDevice takes a CDI name such as vendor.com/gpu=all, alone or as name=,
// and "required".
func checkDevice(value string) error {
	name := ""
	for word := range strings.SplitSeq(value, ",") {
		key, v, has := strings.Cut(word, "=")
		switch {
		case strings.EqualFold(key, "required"):
			if has {
				if _, err := truth(key, v); err != nil {
					return err
				}
			}
		case name != "":
			return fmt.Errorf("a second device %s", quoted(word))
		default:
			name = word
		}
	}
	return nil
}

func oneOf(value string, known ...string) error {
	if slices.Contains(known, value) {
		return nil
	}
	return fmt.Errorf("%s is not one of %s%s", quoted(value), strings.Join(known, ", "), suggest.DidYouMean(value, known))
}

// checkDuration takes what time.ParseDuration takes; zero stands for the default.
func checkDuration(value string) error {
	if value == "" {
		return nil
	}
	d, err := time.ParseDuration(value)
	switch {
	case err != nil:
		return fmt.Errorf("%s is no duration such as 30s or 1m30s", quoted(value))
	case d != 0 && d < time.Millisecond:
		return fmt.Errorf("%s is less than 1ms", value)
	}
	return nil
}
