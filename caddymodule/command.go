// SPDX-License-Identifier: Apache-2.0

package caddymodule

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"
)

func init() {
	caddycmd.RegisterCommand(caddycmd.Command{
		Name:  "webhook-inbox",
		Short: "Finds out how webhooks are signed, and sends signed ones",
		Long: `
Tools for the endpoints of the webhook inbox:

  doctor   says how a captured request is signed, as a verify for the Caddyfile
  send     sends a test request that is signed like a sender's
  schemes  lists the senders that are known by name, and how they sign

Secrets are read from files, or from the standard input for "-", because the
command line is seen by every user of the system. None is ever printed.
`,
		CobraFunc: func(cmd *cobra.Command) {
			cmd.Args = cobra.NoArgs
			cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
			cmd.AddCommand(doctorCommand(), sendCommand(), schemesCommand())
		},
	})
}

const (
	maxSecretFile = 64 << 10
	maxInputFile  = 64 << 20
)

// readInput reads a file, or the standard input for "-". What is the name of its
// flag in errors.
func readInput(cmd *cobra.Command, what, path string, limit int64) ([]byte, error) {
	if path != "-" {
		info, err := os.Stat(path)
		if err == nil && info.Size() > limit {
			return nil, fmt.Errorf("%s: the file is larger than %d KiB", what, limit>>10)
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", what, err)
		}
		return data, nil
	}
	data, err := io.ReadAll(io.LimitReader(cmd.InOrStdin(), limit+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s: reading the standard input: %w", what, err)
	case int64(len(data)) > limit:
		return nil, fmt.Errorf("%s: the standard input is longer than %d KiB", what, limit>>10)
	default:
		return data, nil
	}
}

// readSecrets reads one secret from each file, without the line break at its end.
func readSecrets(cmd *cobra.Command, paths []string) ([]string, error) {
	if len(paths) == 0 {
		return nil, errors.New("--secret-file is missing: the path of a file that holds the secret alone, or - for the standard input")
	}
	secrets := make([]string, len(paths))
	for i, path := range paths {
		data, err := readInput(cmd, "--secret-file", path, maxSecretFile)
		if err != nil {
			return nil, err
		}
		data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
		if isUTF16(data) {
			return nil, fmt.Errorf("--secret-file: secret %d is in UTF-16: save the file as UTF-8", i+1)
		}
		data = bytes.TrimSuffix(data, []byte("\n"))
		data = bytes.TrimSuffix(data, []byte("\r"))
		if len(data) == 0 {
			return nil, fmt.Errorf("--secret-file: secret %d is empty", i+1)
		}
		secrets[i] = string(data)
	}
	return secrets, nil
}

// isUTF16 reports whether text is what Windows calls Unicode.
func isUTF16(text []byte) bool {
	if bytes.HasPrefix(text, []byte("\xff\xfe")) || bytes.HasPrefix(text, []byte("\xfe\xff")) {
		return true
	}
	zeros := bytes.Count(text, []byte{0})
	return len(text) >= 4 && 2*zeros >= len(text)-1
}

// oneStdin refuses to read two things from the standard input.
func oneStdin(paths ...string) error {
	n := 0
	for _, path := range paths {
		if path == "-" {
			n++
		}
	}
	if n > 1 {
		return errors.New("only one file can be the standard input (-)")
	}
	return nil
}

// printable writes text to a terminal: what a request may hold beside text, it
// replaces.
type printable struct{ w io.Writer }

func (p printable) Write(text []byte) (int, error) {
	clean := strings.Map(func(c rune) rune {
		if c != '\n' && c != '\t' && !unicode.IsPrint(c) {
			return '?'
		}
		return c
	}, string(text))
	_, err := io.WriteString(p.w, clean)
	return len(text), err
}
