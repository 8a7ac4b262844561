// SPDX-License-Identifier: Apache-2.0

package caddymodule

import (
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"
)

// errKeyNotReady: tokens can be neither issued nor verified at the moment. That is
// our own trouble, and no fault of whoever brings one.
var errKeyNotReady = errors.New("the key of the tokens is not there")

// errKeyDamaged: waiting does not help.
var errKeyDamaged = errors.New("damaged")

const (
	keyFileName = "token.key"
	keySize     = 32 // bytes

	// keyAgain is how often it is tried to make the key that could not be made,
	// for instance because the disk is full.
	keyAgain = time.Second
)

// deriveKey returns the key of one issuer, so that a token of one is none of
// another's. It must stay as it is: tokens outlive the process.
func deriveKey(master []byte, issuer string) ([]byte, error) {
	return hkdf.Key(sha256.New, master, nil, "caddy webhook inbox token: "+issuer, keySize)
}

// A keyFile is the master key in the directory of the queue, made when it is
// first needed. It is never overwritten: with another key, all tokens that are
// in use would be wrong.
type keyFile struct {
	path string

	mu      sync.Mutex
	started bool // so that it may be made
	key     []byte
	err     error     // why there is none
	next    time.Time // when it is tried again
}

// start allows the key to be made, and makes it. Only a damaged file is an error
// for good; for the rest, get tries again.
func (k *keyFile) start() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.started = true
	k.next = time.Time{}
	_, err := k.load()
	return err
}

// get returns the key. Its error wraps errKeyNotReady.
func (k *keyFile) get() ([]byte, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.load()
}

func (k *keyFile) load() ([]byte, error) {
	if k.key != nil || time.Now().Before(k.next) {
		return k.key, k.err
	}
	key, err := readKey(k.path)
	if errors.Is(err, fs.ErrNotExist) {
		if !k.started {
			return nil, errKeyNotReady
		}
		key, err = makeKey(k.path)
	}
	if err != nil {
		k.err = fmt.Errorf("%w: %w", errKeyNotReady, err)
		k.next = time.Now().Add(keyAgain)
		return nil, k.err
	}
	k.key, k.err = key, nil
	return key, nil
}

// protect makes a key that others can read readable by its owner only, and reports
// whether it was not.
func (k *keyFile) protect() (exposed bool, err error) {
	info, err := os.Stat(k.path)
	if err != nil || runtime.GOOS == "windows" { // which has no such modes
		return false, err
	}
	if info.Mode().Perm()&0o077 == 0 {
		return false, nil
	}
	return true, os.Chmod(k.path, info.Mode().Perm()&^0o077)
}

func readKey(path string) ([]byte, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading the key: %w", err)
	}
	key, err := hex.DecodeString(strings.TrimSuffix(string(data), "\n"))
	if err != nil || len(key) != keySize {
		return nil, fmt.Errorf("the key in %s is %w: expected %d hex digits; put back a copy, or remove it so that a new one is made and all tokens have to be fetched anew",
			path, errKeyDamaged, 2*keySize)
	}
	return key, nil
}

// makeKey makes a key. After it returns, and after a crash, the file is either
// whole or not there.
func makeKey(path string) (_ []byte, err error) {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, keyFileName+".*") // readable by its owner only
	if err != nil {
		return nil, fmt.Errorf("making the key: %w", err)
	}
	defer func() { _ = os.Remove(f.Name()) }()
	key := make([]byte, keySize)
	_, _ = rand.Read(key) // it never fails
	_, err = f.WriteString(hex.EncodeToString(key) + "\n")
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("making the key: %w", err)
	}
	switch err := place(f.Name(), path); {
	case errors.Is(err, fs.ErrExist): // by another configuration, just now
		return readKey(path)
	case err != nil:
		return nil, fmt.Errorf("making the key: %w", err)
	}
	if err := syncDir(dir); err != nil {
		return nil, fmt.Errorf("making the key: %w", err)
	}
	return key, nil
}

// place gives a file its name, unless there is one of that name.
func place(file, name string) error {
	err := os.Link(file, name)
	if err == nil || errors.Is(err, fs.ErrExist) {
		return err
	}
	// A file system without links.
	if _, err := os.Lstat(name); !errors.Is(err, fs.ErrNotExist) {
		return fs.ErrExist
	}
	return os.Rename(file, name)
}

// syncDir makes the names in a directory durable, on systems that can.
func syncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
