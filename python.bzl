"""Rules that run a Python file with the `python3` of the machine, and with nothing installed.

They need no toolchain and no rules from elsewhere, so they work without network. The native
`py_binary` of Debian's Bazel, 4.2.3, does not: it asks for rules_cc and rules_java, which have to
be downloaded. From Bazel 8 on it is gone, and rules_python in its place has to be downloaded too.
"""

def _python_impl(ctx):
    launcher = ctx.actions.declare_file(ctx.label.name)
    ctx.actions.write(
        launcher,
        """#!/bin/sh
cd "${RUNFILES_DIR:-$0.runfiles}/%s" || exit
root=$PWD
export PYTHONPATH="$root:$root/src"
cd "${BUILD_WORKING_DIRECTORY:-.}" && exec python3 "$root/%s" "$@"
""" % (ctx.workspace_name, ctx.file.main.short_path),
        is_executable = True,
    )
    runfiles = ctx.runfiles(files = [ctx.file.main] + ctx.files.data)
    return [DefaultInfo(executable = launcher, runfiles = runfiles)]

_ATTRS = {
    "main": attr.label(allow_single_file = [".py"], doc = "The file to run."),
    "data": attr.label_list(allow_files = True, doc = "Other files that it imports or reads."),
}

python_binary = rule(
    implementation = _python_impl,
    attrs = _ATTRS,
    doc = "A program, run in the folder where `bazel run` was called.",
    executable = True,
)

python_test = rule(
    implementation = _python_impl,
    attrs = _ATTRS,
    doc = "A test, passed if its exit status is 0.",
    test = True,
)
