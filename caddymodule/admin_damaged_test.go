// SPDX-License-Identifier: Apache-2.0

package caddymodule_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A dead letter that was damaged on the disk says so, to who lists it and to who
// wants its request: that is not empty, but cannot be read. Of one whose body is
// damaged and kept apart, because it is long, the rest is shown.
func TestADamagedDeadLetterIsSaidToBeDamaged(t *testing.T) {
	app := newApplication(t)
	s := serve(t, fmt.Sprintf(deadSite, app.addr))
	bury(t, s, app, "whole", "damaged")
	app.status.Store(400)
	long := strings.Repeat("x", 1<<20) + "the end of it"
	s.expect(202, "POST", "/long", tokenHeader("long"), long)
	app.next()
	eventually(t, "it is dead", func() bool { return s.endpoint("demo").DeadLetters == 3 })
	damageJournal(t, s.dir, "body of damaged")
	damageJournal(t, s.dir, "the end of it")

	const letters = "/webhook_inbox/endpoints/demo/dead_letters"
	type letter struct {
		ID, Path, Method string
		Damaged          bool
		Attempts         int
	}
	var page struct {
		DeadLetters []letter `json:"dead_letters"`
	}
	s.adminJSON("GET", letters, &page)
	if len(page.DeadLetters) != 3 {
		t.Fatalf("dead letters are %+v", page.DeadLetters)
	}
	for i, want := range []struct {
		listed, one letter
		body        string
	}{
		{letter{Method: "POST", Path: "/hooks"}, letter{Method: "POST", Path: "/hooks"}, "body of whole"},
		{letter{Damaged: true}, letter{Damaged: true}, ""},
		{letter{Method: "POST", Path: "/long"}, letter{Method: "POST", Path: "/long", Damaged: true}, ""},
	} {
		listed := page.DeadLetters[i]
		id := listed.ID
		want.listed.ID, want.listed.Attempts = id, 1
		want.one.ID, want.one.Attempts = id, 1
		if listed != want.listed {
			t.Errorf("listed is %+v, want %+v", listed, want.listed)
		}
		var one letter
		s.adminJSON("GET", letters+"/"+id, &one)
		if one != want.one {
			t.Errorf("shown is %+v, want %+v", one, want.one)
		}
		var request struct {
			Method  string
			Body    []byte
			Damaged bool
		}
		s.adminJSON("GET", letters+"/"+id+"/request", &request)
		if request.Damaged != want.one.Damaged || request.Method != want.one.Method || string(request.Body) != want.body {
			t.Errorf("its request is %s with %q, damaged: %v", request.Method, request.Body, request.Damaged)
		}
		if _, data := s.admin("GET", letters+"/"+id); strings.Contains(string(data), "damaged\":") != want.one.Damaged {
			t.Errorf("shown is %s", data)
		}
	}
}

// damageJournal flips a bit of what is in the journal.
func damageJournal(t *testing.T, dir, what string) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*.segment"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		at := bytes.Index(data, []byte(what))
		if at < 0 {
			continue
		}
		f, err := os.OpenFile(name, os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		_, err = f.WriteAt([]byte{data[at] ^ 1}, int64(at))
		if err := f.Close(); err != nil {
			t.Error(err)
		}
		if err != nil {
			t.Fatal(err)
		}
		return
	}
	t.Fatalf("%q is in no file", what)
}
