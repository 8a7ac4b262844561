// SPDX-License-Identifier: Apache-2.0

package caddymodule_test

import (
	"fmt"
	"strings"
	"testing"
)

// Caddyfiles in which an option has a SIZE, each of which is valid with 64MiB.
var sizeOptions = map[string]string{
	"max_size of the queue": "{\nwebhook_inbox {\nqueue badger {\nmax_size SIZE\n}\n}\n}\n:8080 {\nwebhook_inbox demo {\nREST\n}\n}",
	"min_free_space":        "{\nwebhook_inbox {\nqueue badger {\nmin_free_space SIZE\n}\n}\n}\n:8080 {\nwebhook_inbox demo {\nREST\n}\n}",
	"max_in_flight":         "{\nwebhook_inbox {\nmax_in_flight SIZE\n}\n}\n:8080 {\nwebhook_inbox demo {\nREST\n}\n}",
	"max_body":              ":8080 {\nwebhook_inbox demo {\nmax_body SIZE\nREST\n}\n}",
	"max_size":              ":8080 {\nwebhook_inbox demo {\nmax_size SIZE\nREST\n}\n}",
}

func adaptSize(option, size string) ([]byte, error) {
	config := strings.NewReplacer("SIZE", size, "REST", "verify bearer not-guessed-so-easily\ndedupe off\ndeliver app:8080").Replace(sizeOptions[option])
	adapted, _, err := adapt(config)
	return adapted, err
}

// A size that does not fit into a number is refused, and is no small one by going
// round: neither as it is written nor times its unit, with a point or without.
func TestFaultSizesThatOverflowAreRefused(t *testing.T) {
	t.Parallel()
	tooLarge := []string{
		"18014398509481985k",  // times 1000 more than 2^63
		"18014398509481985Ki", // times 1024 2^64 and a little
		"18014398509481985KiB", "18446744073709551616", "18446744073709551617B", "9223372036854775808",
		"8EiB", "16EiB", "16.0001EiB", "17179869185GiB", "17179869185.5GiB", "18446744073709552.001kB",
		strings.Repeat("9", 400), strings.Repeat("9", 400) + ".5EB", "1e30", "inf", "NaN", "-1", "0", "0.4B",
	}
	for option := range sizeOptions {
		t.Run(option, func(t *testing.T) {
			t.Parallel()
			if _, err := adaptSize(option, "64MiB"); err != nil {
				t.Fatal(err)
			}
			for _, size := range tooLarge {
				config, err := adaptSize(option, size)
				if err == nil {
					t.Errorf("%s is taken: %s", size, config)
				} else if !strings.Contains(err.Error(), "expected a size") {
					t.Errorf("%s: %v", size, err)
				}
			}
		})
	}
}

// The same in JSON.
func TestFaultSizesThatOverflowAreRefusedInJSON(t *testing.T) {
	for _, size := range []string{"9223372036854775808", "18446744073709551617", "1e30", `"1GiB"`} {
		for _, app := range []string{
			`{"max_in_flight": SIZE}`, `{"queue": {"engine": "badger", "max_size": SIZE}}`, `{"queue": {"engine": "badger", "min_free_space": SIZE}}`,
		} {
			app = strings.ReplaceAll(app, "SIZE", size)
			if err := validate([]byte(`{"apps": {"webhook_inbox": ` + app + `}}`)); err == nil || !strings.Contains(err.Error(), "cannot unmarshal") {
				t.Errorf("%s: %v", app, err)
			}
		}
	}
}

// With less than 64 MiB left free, the queue alone would fill the disk, so that is
// refused. More than any disk has is not, and means that nothing is accepted.
func TestFaultFreeSpaceThatIsTooLittleIsRefused(t *testing.T) {
	for size, want := range map[string]string{
		"1":                "must not be less than 64 MiB",
		"67108863":         "must not be less than 64 MiB",
		"67108864":         "",
		"9007199254740992": "",
	} {
		app := fmt.Sprintf(`{"queue": {"engine": "badger", "directory": %q, "min_free_space": %s}}`, t.TempDir(), size)
		checkRefused(t, validate([]byte(`{"apps": {"webhook_inbox": `+app+`}}`)), "", want)
	}
}
