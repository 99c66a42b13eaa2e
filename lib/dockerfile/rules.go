package dockerfile

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"docksmith/lib/suggest"
)

// The checks, under BuildKit's names.
const (
	ConsistentInstructionCasing     = "ConsistentInstructionCasing"
	CopyIgnoredFile                 = "CopyIgnoredFile"
	DuplicateStageName              = "DuplicateStageName"
	ExposeInvalidFormat             = "ExposeInvalidFormat"
	ExposeProtoCasing               = "ExposeProtoCasing"
	FromAsCasing                    = "FromAsCasing"
	FromPlatformFlagConstDisallowed = "FromPlatformFlagConstDisallowed"
	InvalidDefaultArgInFrom         = "InvalidDefaultArgInFrom"
	InvalidDefinitionDescription    = "InvalidDefinitionDescription"
	JSONArgsRecommended             = "JSONArgsRecommended"
	LegacyKeyValueFormat            = "LegacyKeyValueFormat"
	MaintainerDeprecated            = "MaintainerDeprecated"
	MultipleInstructionsDisallowed  = "MultipleInstructionsDisallowed"
	NoEmptyContinuation             = "NoEmptyContinuation"
	RedundantTargetPlatform         = "RedundantTargetPlatform"
	ReservedStageName               = "ReservedStageName"
	SecretsUsedInArgOrEnv           = "SecretsUsedInArgOrEnv"
	StageNameCasing                 = "StageNameCasing"
	UndefinedArgInFrom              = "UndefinedArgInFrom"
	UndefinedVar                    = "UndefinedVar"
	WorkdirRelativePath             = "WorkdirRelativePath"
)

// Rule describes a check.
type Rule struct {
	Name, Summary string
	// OfBuild is true where more than the file decides: the values of build
	// arguments, the base images, the context.
	OfBuild bool
	// Experimental checks are off unless asked for.
	Experimental bool
}

// Catalogue lists all checks by name.
var Catalogue = []Rule{
	{Name: ConsistentInstructionCasing, Summary: "all instructions are in upper case, or all in lower case"},
	{Name: CopyIgnoredFile, Summary: "COPY and ADD name nothing that the ignore file excludes", OfBuild: true},
	{Name: DuplicateStageName, Summary: "stages have different names"},
	{Name: ExposeInvalidFormat, Summary: "EXPOSE has neither an address nor a host port", OfBuild: true},
	{Name: ExposeProtoCasing, Summary: "EXPOSE has its protocol in lower case", OfBuild: true},
	{Name: FromAsCasing, Summary: "AS is in the case of FROM"},
	{Name: FromPlatformFlagConstDisallowed, Summary: "FROM --platform depends on the platform that is built for"},
	{Name: InvalidDefaultArgInFrom, Summary: "FROM names an image without any build argument given"},
	{Name: InvalidDefinitionDescription, Summary: "a comment right above ARG or FROM begins with the name it describes", Experimental: true},
	{Name: JSONArgsRecommended, Summary: "CMD and ENTRYPOINT are JSON arrays, so that signals reach the program", OfBuild: true},
	{Name: LegacyKeyValueFormat, Summary: "ENV and LABEL have the form KEY=VALUE"},
	{Name: MaintainerDeprecated, Summary: "a label names the author, not MAINTAINER"},
	{Name: MultipleInstructionsDisallowed, Summary: "a stage has one CMD, ENTRYPOINT and HEALTHCHECK at most"},
	{Name: NoEmptyContinuation, Summary: "there are no blank lines inside an instruction"},
	{Name: RedundantTargetPlatform, Summary: "FROM --platform is not the default, TARGETPLATFORM"},
	{Name: ReservedStageName, Summary: "no stage is named scratch or context"},
	{Name: SecretsUsedInArgOrEnv, Summary: "no ARG or ENV holds a secret"},
	{Name: StageNameCasing, Summary: "stage names are in lower case"},
	{Name: UndefinedArgInFrom, Summary: "variables in FROM are declared before the first FROM"},
	{Name: UndefinedVar, Summary: "variables are defined before their use", OfBuild: true},
	{Name: WorkdirRelativePath, Summary: "the first WORKDIR is an absolute path", OfBuild: true},
}

// FindRule finds a check by its exact name.
func FindRule(name string) (Rule, bool) {
	i := slices.IndexFunc(Catalogue, func(r Rule) bool { return r.Name == name })
	if i < 0 {
		return Rule{}, false
	}
	return Catalogue[i], true
}

// Rules says which checks count. The zero value is the default.
type Rules struct {
	// Error makes a finding an error of the build.
	Error bool

	skip, experimental []string // "all" is every one
}

// ParseRules reads the value of a check directive: options with ";" between
// them, skip=NAME,..., experimental=NAME,... (each also "all") and error=BOOL.
// Names that are no checks here are kept, as they may be checks elsewhere.
func ParseRules(text string) (Rules, error) {
	var r Rules
	if text = strings.TrimSpace(text); text == "" {
		return r, nil
	}
	for option := range strings.SplitSeq(text, ";") {
		key, value, has := strings.Cut(option, "=")
		key, value = strings.TrimSpace(key), strings.TrimSpace(value)
		if !has {
			return r, fmt.Errorf("option %s has no value: write skip=NAME, error=true or experimental=NAME", quoted(key))
		}
		switch key {
		case "skip":
			r.skip = names(value)
		case "experimental":
			r.experimental = names(value)
		case "error":
			on, err := strconv.ParseBool(value)
			if err != nil {
				return r, fmt.Errorf("error=%s is neither true nor false", quoted(value))
			}
			r.Error = on
		default:
			known := []string{"skip", "error", "experimental"}
			return r, fmt.Errorf("option %s is not one of %s%s", quoted(key), strings.Join(known, ", "), suggest.DidYouMean(key, known))
		}
	}
	return r, nil
}

func names(list string) []string {
	out := strings.Split(list, ",")
	for i := range out {
		out[i] = strings.TrimSpace(out[i])
	}
	return out
}

// Validate refuses names that are no checks, for rules that a person just typed.
func (r Rules) Validate() error {
	known := make([]string, len(Catalogue))
	for i, rule := range Catalogue {
		known[i] = rule.Name
	}
	for _, name := range slices.Concat(r.skip, r.experimental) {
		if name != "all" && name != "" && !slices.Contains(known, name) {
			return fmt.Errorf("there is no check %s%s", quoted(name), suggest.DidYouMean(name, known))
		}
	}
	return nil
}

// Select leaves the findings that count.
func (r Rules) Select(found []Finding) []Finding {
	off := map[string]bool{}
	for _, rule := range Catalogue {
		off[rule.Name] = listed(r.skip, rule.Name) || rule.Experimental && !listed(r.experimental, rule.Name)
	}
	var out []Finding
	for _, f := range found {
		if !off[f.Rule] {
			out = append(out, f)
		}
	}
	return out
}

func listed(list []string, name string) bool {
	return slices.Contains(list, name) || slices.Contains(list, "all")
}
