// SPDX-License-Identifier: Apache-2.0

package badgerqueue

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"

	"github.com/dgraph-io/badger/v4"
	"go.uber.org/zap"
)

// prepareDir makes the directory, or checks that one that is there can be taken.
// Messages hold credentials, and Badger lets everybody read its files, so that
// nobody else may enter.
func (q *Queue) prepareDir() error {
	dir := q.opts.Dir
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if err := checkContent(dir); err != nil {
		return err
	}
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	if info.Mode().Perm()&0o077 == 0 || runtime.GOOS == "windows" {
		return nil
	}
	if err := os.Chmod(dir, 0o700); err != nil {
		q.log.Warn("others can read the messages in the directory of the queue", zap.Error(err))
	}
	return nil
}

// ourFiles are the names of the files of a queue, and what may be in an empty
// directory.
var ourFiles = []string{
	"*.mem", "*.sst", "*.vlog", "DISCARD", "KEYREGISTRY", "LOCK", "MANIFEST", "MANIFEST-REWRITE", badger.KeyRegistryRewriteFileName,
	"*.segment", "*.segment.unreadable", "*.segment.unread", ballastName, commitFileName, "lost+found",
	"token.key*", // of the inbox, which issues tokens
}

// checkContent refuses a directory that has files of others: it would be closed
// to them.
func checkContent(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		ours := slices.ContainsFunc(ourFiles, func(pattern string) bool {
			ok, _ := filepath.Match(pattern, entry.Name()) // the patterns are well-formed
			return ok
		})
		if !ours {
			return fmt.Errorf("there is something else in it, such as %q: a queue has a directory of its own", entry.Name())
		}
	}
	return nil
}
