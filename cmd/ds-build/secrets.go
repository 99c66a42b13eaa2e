package main

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"docksmith/lib/build"
	"docksmith/lib/cli"
	"docksmith/lib/sandbox"
)

// readSecrets reads what --secret names: id=NAME with src=FILE or env=VARIABLE,
// or with neither the variable, else the file, of that name. A variable that is
// not set is no secret.
func readSecrets(flags []string, deps *depfile) (map[string][]byte, error) {
	secrets := map[string][]byte{}
	if len(flags) > 0 {
		if err := sandbox.HideMemory(); err != nil {
			return nil, err
		}
	}
	for _, flag := range flags {
		id, file, variable, err := parseSecret(flag)
		if err != nil {
			return nil, cli.Usagef("--secret %s: %v", flag, err)
		}
		if variable != "" {
			if v, ok := os.LookupEnv(variable); ok {
				secrets[id] = []byte(v)
			}
			continue
		}
		if secrets[id], err = readSecret(file); err != nil {
			return nil, fmt.Errorf("read secret %s: %w", id, err)
		}
		if info, err := os.Stat(file); err == nil && info.Mode().IsRegular() { // a pipe would always be new
			deps.file(file)
		}
	}
	return secrets, nil
}

func parseSecret(flag string) (id, file, variable string, err error) {
	words, err := csv.NewReader(strings.NewReader(flag)).Read()
	if err != nil {
		return "", "", "", errors.New("want id=NAME[,src=FILE|,env=VARIABLE]")
	}
	kind := ""
	for i, word := range words {
		key, value, has := strings.Cut(word, "=")
		switch key = strings.ToLower(key); {
		case !has && i == 0 && len(words) == 1:
			id = word
		case !has:
			return "", "", "", fmt.Errorf("%s needs a value", key)
		case key == "id":
			id = value
		case key == "src", key == "source":
			file = value
		case key == "env":
			variable = value
		case key == "type" && (value == "file" || value == "env"):
			kind = value
		case key == "type":
			return "", "", "", fmt.Errorf("type=%s: want file or env", value)
		default:
			return "", "", "", fmt.Errorf("unknown key %q", key)
		}
	}
	switch {
	case id == "":
		return "", "", "", errors.New("the id is missing")
	case kind == "env" && variable == "":
		variable, file = file, ""
	case kind == "file" && variable != "", file != "" && variable != "":
		return "", "", "", errors.New("a secret comes from a file or from a variable, not both")
	}
	if file == "" && variable == "" {
		if _, set := os.LookupEnv(id); set && kind != "file" {
			variable = id
		} else {
			file = id
		}
	}
	return id, file, variable, nil
}

// readSecret reads a file, a pipe for example, of limited size.
func readSecret(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	value, err := io.ReadAll(io.LimitReader(f, sandbox.MaxSecret+1))
	if err == nil && len(value) > sandbox.MaxSecret {
		err = fmt.Errorf("%s is larger than %d KiB", name, sandbox.MaxSecret>>10)
	}
	return value, err
}

// agents reads --ssh: ID, whose agent is the one of SSH_AUTH_SOCK, or ID=SOCKET.
func agents(flags []string) (map[string]string, error) {
	sockets := map[string]string{}
	for _, flag := range flags {
		id, socket, has := strings.Cut(flag, "=")
		if !has {
			socket = os.Getenv("SSH_AUTH_SOCK")
		}
		switch {
		case id == "":
			return nil, cli.Usagef("--ssh %s: want default, or ID=SOCKET", flag)
		case socket == "" && has:
			return nil, cli.Usagef("--ssh %s: the socket is missing", flag)
		case socket == "":
			return nil, cli.WithHint(fmt.Errorf("--ssh %s: SSH_AUTH_SOCK is not set", flag), "start an agent: eval $(ssh-agent) && ssh-add")
		}
		info, err := os.Stat(socket)
		if err != nil {
			return nil, fmt.Errorf("--ssh %s: %w", id, err)
		}
		if info.Mode()&os.ModeSocket == 0 {
			return nil, cli.WithHint(fmt.Errorf("--ssh %s: %s is not a socket", id, socket), "keys are given by an agent: eval $(ssh-agent) && ssh-add %s", socket)
		}
		if sockets[id], err = filepath.Abs(socket); err != nil { // other programs work elsewhere
			return nil, err
		}
	}
	return sockets, nil
}

// allowed reads --allow, in the words of docker buildx.
func allowed(flags []string) (network bool, insecure []string, err error) {
	for _, list := range flags {
		for word := range strings.SplitSeq(list, ",") {
			switch word {
			case build.AllowNetworkHost:
				network = true
			case build.AllowInsecure:
				if insecure, err = sandbox.Capabilities(); err != nil {
					return false, nil, err
				}
			default:
				return false, nil, cli.Usagef("--allow %s: want %s or %s", word, build.AllowNetworkHost, build.AllowInsecure)
			}
		}
	}
	return network, insecure, nil
}

// discreet are the arguments as a record may keep them: of secrets and agents
// the names, and nothing of where they are.
func discreet(args []string) []string {
	out := slices.Clone(args)
	for i := range out {
		flag, value, joined := strings.Cut(out[i], "=")
		if flag != "--secret" && flag != "--ssh" {
			continue
		}
		at := i
		if !joined {
			if at = i + 1; at == len(out) {
				break
			}
			value = out[at]
		}
		if flag == "--ssh" {
			value, _, _ = strings.Cut(value, "=")
		} else if id, _, _, err := parseSecret(value); err == nil {
			value = "id=" + id
		} else {
			value = ""
		}
		if out[at] = value; joined {
			out[at] = flag + "=" + value
		}
	}
	return out
}
