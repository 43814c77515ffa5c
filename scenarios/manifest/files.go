package manifest

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
)

type file struct {
	name string
	data []byte
}

// hostFiles is the operating system's files as an fs.FS that also takes absolute paths and "..".
type hostFiles struct{}

func (hostFiles) Open(name string) (fs.File, error) { return os.Open(name) }

// reader collects the files that paths lead to, each once.
type reader struct {
	opts  Options
	seen  map[string]bool
	files []file
	errs  Errors
}

func readFiles(paths []string, opts Options) ([]file, Errors) {
	if opts.FS == nil {
		opts.FS = hostFiles{}
	}
	r := &reader{opts: opts, seen: map[string]bool{}}
	for _, p := range paths {
		r.path(p)
	}
	return r.files, r.errs
}

func (r *reader) path(p string) {
	if p == "-" {
		r.stdin()
		return
	}
	p = path.Clean(p)
	info, err := fs.Stat(r.opts.FS, p)
	switch {
	case err != nil:
		r.fail(p, err)
	case info.IsDir():
		r.directory(p)
	default:
		r.file(p)
	}
}

func (r *reader) stdin() {
	if r.seen["-"] || r.opts.Stdin == nil {
		return
	}
	r.seen["-"] = true
	data, err := io.ReadAll(r.opts.Stdin)
	if err != nil {
		r.fail("<stdin>", err)
		return
	}
	r.files = append(r.files, file{"<stdin>", data})
}

func (r *reader) file(name string) {
	if r.seen[name] {
		return
	}
	r.seen[name] = true
	data, err := fs.ReadFile(r.opts.FS, name)
	if err != nil {
		r.fail(name, err)
		return
	}
	r.files = append(r.files, file{name, data})
}

func (r *reader) directory(root string) {
	visit := func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			r.fail(name, err)
			return nil
		}
		if !entry.IsDir() && slices.Contains([]string{".yaml", ".yml", ".json"}, path.Ext(name)) {
			r.file(name)
		}
		return nil
	}
	if err := fs.WalkDir(r.opts.FS, root, visit); err != nil {
		r.fail(root, err)
	}
}

// fail reports err without repeating the file's name, which an fs.PathError carries too.
func (r *reader) fail(name string, err error) {
	if pathErr, ok := errors.AsType[*fs.PathError](err); ok {
		err = pathErr.Err
	}
	r.errs = append(r.errs, &Error{File: name, Msg: "cannot be read: " + err.Error()})
}
