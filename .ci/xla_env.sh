#!/usr/bin/env bash
# Make in DIR a virtual environment with torch and torch_xla of one version, for the tests marked `xla`:
#
#     .ci/xla_env.sh DIR && export LITIFY_XLA_PYTHON=DIR/bin/python
#
# torch_xla needs the torch it was built with, and that one comes with several GB of CUDA. Where disk or packages are not to
# be had this prints one line, makes nothing and exits 0: the tests then skip and say so.
set -u
dir=${1:?usage: .ci/xla_env.sh DIR}
python=${PYTHON:-python3}
root=$(cd "$(dirname "$0")/.." && pwd)
version=2.9.0
needed_gb=12

if "$dir/bin/python" -c "import torch_xla, litify" 2>/dev/null; then
    echo "xla environment: $dir is there"
    exit 0
fi
parent=$(dirname "$dir")
mkdir -p "$parent"
free_gb=$(($(df -Pk "$parent" | awk 'NR == 2 {print $4}') / 1024 / 1024))
if [ "$free_gb" -lt "$needed_gb" ]; then
    echo "xla environment: not made, $free_gb GB free in $parent and $needed_gb needed"
    exit 0
fi

make() {
    "$python" -m venv "$dir" &&
        "$dir/bin/pip" install --no-cache-dir -q "torch==$version" "torch_xla==$version" &&
        "$dir/bin/pip" install --no-cache-dir -q click libcst black tensorboard tqdm rich "jsonargparse[signatures]" \
            scikit-learn networkx hatchling editables &&
        "$dir/bin/pip" install -q --no-deps --no-build-isolation -e "$root" &&
        PJRT_DEVICE=CPU "$dir/bin/python" -c "import torch_xla, litify"
}

log=$(mktemp)
if make >"$log" 2>&1; then
    echo "xla environment: made in $dir"
else
    echo "xla environment: not made: $(grep -i error "$log" | tail -1)"
    rm -rf "$dir"
fi
rm -f "$log"
