"""Packaging of slac_tf; tool settings are in pyproject.toml, exact versions in requirements.lock."""

import pathlib
import shutil

import setuptools
from setuptools.command import build_py

RUNTIME = [
    "absl-py",
    "dm-control==1.0.34",
    "dm-reverb==0.14.0",
    "gin-config==0.5.0",
    "gymnasium[mujoco]>=1.1,<1.4",
    "imageio",
    "imageio-ffmpeg",
    "mujoco==3.3.7",
    "numpy<2",
    "pillow",
    "psutil",
    "setuptools<82",
    "tensorflow==2.15.1",
    "tensorflow-probability==0.23.0",
    "tf-agents==0.19.0",
    "tqdm",
    "typing-extensions==4.5.0",
]


class BuildWithShippedFiles(build_py.build_py):
    """Takes along what stands beside the package: slac_tf/config/shipped.py finds it in either place."""

    def run(self):
        super().run()
        if self.editable_mode:
            return
        package = pathlib.Path(self.build_lib) / "slac_tf"
        for folder in ("benchmarks", "gin_configs"):
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(folder, package / folder, ignore=ignored, dirs_exist_ok=True)
        shutil.copy("requirements.lock", package)


setuptools.setup(
    name="slac-tf",
    version="0.2.0.dev0",
    description="Stochastic Latent Actor-Critic on TensorFlow and TF-Agents",
    long_description=open("README.md", encoding="utf-8").read(),
    long_description_content_type="text/markdown",
    license="MIT",
    python_requires=">=3.9,<3.12",
    platforms=["Linux"],
    packages=setuptools.find_packages(include=["slac_tf", "slac_tf.*"]),
    package_data={"slac_tf": ["py.typed", "results/published/*"]},
    cmdclass={"build_py": BuildWithShippedFiles},
    entry_points={
        "console_scripts": [
            f"slac_tf-{path.name} = slac_tf.commands:run_installed" for path in sorted(pathlib.Path("bin").iterdir())
        ]
    },
    install_requires=RUNTIME,
    extras_require={
        "gpu": ["tensorflow[and-cuda]==2.15.1"],
        "plots": ["matplotlib"],
        "dev": ["mypy==1.10.1", "pytest", "pytest-timeout", "pytest-xdist", "ruff"],
    },
    classifiers=[
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3.9",
        "Programming Language :: Python :: 3.10",
        "Programming Language :: Python :: 3.11",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
    ],
)
