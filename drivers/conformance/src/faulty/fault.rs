//! The faults by name, each with the case that is there to find it.

/// Makes the enum, the list of all, the names and the finders out of one table.
macro_rules! faults {
    ($($(#[doc = $doc:literal])+ $variant:ident $name:literal => $case:literal;)+) => {
        /// One thing that a driver may get wrong.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Fault {
            /// Nothing is wrong: the wrapper alone.
            None,
            $($(#[doc = $doc])+ $variant,)+
        }

        impl Fault {
            /// Every fault.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The fault's name, as it is listed.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    Self::None => "none",
                    $(Self::$variant => $name,)+
                }
            }

            /// The case that fails on a driver with this fault.
            #[must_use]
            pub fn found_by(self) -> &'static str {
                match self {
                    Self::None => "",
                    $(Self::$variant => $case,)+
                }
            }
        }
    };
}

faults! {
    /// Applying leaves whiteouts out: what a layer deletes is still there.
    MissedWhiteout "missed_whiteout" => "parents::whiteouts_delete_and_what_comes_after_them_is_new";
    /// Applying forgets that a folder is opaque.
    LostOpaque "lost_opaque" => "parents::whiteouts_delete_and_what_comes_after_them_is_new";
    /// Applying leaves `user.*` attributes out.
    LostXattr "lost_xattr" => "applying::every_kind_of_entry_keeps_all_it_has";
    /// Applying leaves file capabilities out.
    LostCapability "lost_capability" => "applying::every_kind_of_entry_keeps_all_it_has";
    /// Applying leaves access control lists out.
    LostAcl "lost_acl" => "applying::every_kind_of_entry_keeps_all_it_has";
    /// Applying cuts times at whole seconds.
    TruncatedTime "truncated_time" => "applying::every_kind_of_entry_keeps_all_it_has";
    /// Applying gives files a later time than they have.
    StaleTime "stale_time" => "applying::every_kind_of_entry_keeps_all_it_has";
    /// Applying makes every owner root.
    WrongOwner "wrong_owner" => "applying::every_kind_of_entry_keeps_all_it_has";
    /// Applying drops the set-user-id bit, as a change of owner after the mode does.
    LostSetUserId "lost_set_user_id" => "applying::every_kind_of_entry_keeps_all_it_has";
    /// Applying makes a hard link a file of its own.
    UnlinkedHardLink "unlinked_hard_link" => "applying::every_kind_of_entry_keeps_all_it_has";
    /// Applying gives device nodes the minor number's low byte only, as old calls do.
    NarrowDevice "narrow_device" => "applying::every_kind_of_entry_keeps_all_it_has";
    /// Applying makes names UTF-8.
    LossyName "lossy_name" => "applying::every_kind_of_entry_keeps_all_it_has";
    /// Applying cleans the text of symbolic links.
    CleanedLink "cleaned_link" => "applying::every_kind_of_entry_keeps_all_it_has";
    /// Applying writes zeros where a file has a hole.
    FilledHole "filled_hole" => "applying::holes_stay_holes_and_hold_what_they_held";
    /// Applying gives a folder that the tar only implies the default mode, whatever it is below.
    ImpliedFolderReset "implied_folder_reset" => "parents::an_implied_folder_is_what_it_is_below";
    /// Applying twice under one id is accepted.
    AppliedTwice "applied_twice" => "applying::a_layer_is_applied_once_and_removed_as_often_as_one_likes";
    /// A diff says nothing of deletions.
    DiffForgetsDeletions "diff_forgets_deletions" => "changing::changes_and_diff_of_a_container_say_what_was_done";
    /// A diff has no extended attributes.
    DiffForgetsXattrs "diff_forgets_xattrs" => "applying::what_a_layer_says_to_overlayfs_is_kept_as_data";
    /// A diff has a hard link as a file of its own.
    DiffUnlinks "diff_unlinks" => "changing::changes_and_diff_of_a_container_say_what_was_done";
    /// A diff leaves out a file that was rewritten to the same size.
    DiffMissesRewrite "diff_misses_rewrite" => "changing::a_rewrite_within_a_second_to_the_same_size_is_seen";
    /// A diff is not sorted.
    DiffUnsorted "diff_unsorted" => "changing::a_diff_is_written_the_same_by_every_driver";
    /// A diff is not the same each time.
    DiffVaries "diff_varies" => "changing::changes_and_diff_of_a_container_say_what_was_done";
    /// A diff leaves out the root.
    DiffForgetsRoot "diff_forgets_root" => "changing::metadata_alone_is_a_change_and_the_root_is_not_forgotten";
    /// Changes leave out the folders above what changed.
    ChangesWithoutParents "changes_without_parents" => "changing::changes_and_diff_of_a_container_say_what_was_done";
    /// Changes are not sorted.
    ChangesUnsorted "changes_unsorted" => "changing::changes_and_diff_of_a_container_say_what_was_done";
    /// Changes leave out deletions.
    ChangesForgetDeletions "changes_forget_deletions" => "changing::changes_and_diff_of_a_container_say_what_was_done";
    /// Changes call new what was modified.
    ChangesSayAdded "changes_say_added" => "changing::changes_and_diff_of_a_container_say_what_was_done";
    /// A mount for reading is made for writing.
    ReadOnlyIgnored "read_only_ignored" => "mounting::a_writable_layer_can_be_mounted_read_only";
    /// A mount for inspection lets set-user-id bits and devices work.
    InspectionIgnored "inspection_ignored" => "mounting::a_sealed_layer_takes_no_writes_and_an_inspection_nothing_at_all";
    /// Mounting leaves a second mount behind.
    LeakedMount "leaked_mount" => "mounting::dropping_a_mount_takes_it_down";
    /// Mounting leaves a file open.
    LeakedDescriptor "leaked_descriptor" => "mounting::dropping_a_mount_takes_it_down";
    /// Mounting leaves a thread.
    LeakedThread "leaked_thread" => "mounting::dropping_a_mount_takes_it_down";
    /// Mounting leaves a process.
    LeakedChild "leaked_child" => "mounting::dropping_a_mount_takes_it_down";
    /// Mounting leaves a loop device on a file in the driver's folder.
    LeakedLoop "leaked_loop" => "mounting::dropping_a_mount_takes_it_down";
    /// A dropped mount stays.
    KeptMount "kept_mount" => "mounting::dropping_a_mount_takes_it_down";
    /// A sealed layer can be written to.
    SealIgnored "seal_ignored" => "changing::a_sealed_container_is_a_layer_like_any_other";
    /// Removing leaves the layer.
    RemoveLeaves "remove_leaves" => "applying::a_layer_is_applied_once_and_removed_as_often_as_one_likes";
    /// Removing what is not there fails.
    RemoveOfAbsentFails "remove_of_absent_fails" => "applying::a_layer_is_applied_once_and_removed_as_often_as_one_likes";
    /// Removing what is mounted answers that it was removed.
    InUseIgnored "in_use_ignored" => "mounting::what_is_mounted_is_neither_removed_nor_unmounted_under_open_files";
    /// Unmounting under open files answers that nothing is mounted any more.
    LazyUnmount "lazy_unmount" => "mounting::what_is_mounted_is_neither_removed_nor_unmounted_under_open_files";
    /// What an engine is told to mount takes no writes, ever.
    SpecsReadOnly "specs_read_only" => "mounting::specs_say_the_same_each_time_and_mount_what_the_driver_mounts";
    /// A layer on nothing is not empty.
    BaseNotEmpty "base_not_empty" => "basic::an_empty_layer_is_an_empty_folder";
    /// A layer that is there is made a second time without a complaint.
    TakenIdAccepted "taken_id_accepted" => "basic::an_id_that_is_taken_is_refused_and_the_layer_unharmed";
    /// Two that make one layer at once are both told that they made it.
    MadeTwice "made_twice" => "together::one_layer_is_made_once_by_many";
    /// A layer that is not there has an empty diff.
    AbsentIsEmpty "absent_is_empty" => "basic::a_layer_that_is_not_there_is_not_found";
    /// Errors do not say which layer it was.
    NamelessErrors "nameless_errors" => "basic::a_layer_that_is_not_there_is_not_found";
    /// A view can be written to.
    ViewWritable "view_writable" => "snapshots::a_view_shows_its_parent_and_takes_no_writes";
    /// Sealing what is sealed fails.
    SecondSealFails "second_seal_fails" => "snapshots::committing_twice_is_committing_once";
    /// What a layer takes includes what its parents take.
    UsageOfParents "usage_of_parents" => "sizes::a_layers_size_is_its_own_without_its_parents";
    /// What a layer takes is what it has more than its parent.
    UsageOfGrowth "usage_of_growth" => "sizes::a_rewritten_file_counts_whole";
    /// What a diff holds is not said.
    DiffOfNoSize "diff_of_no_size" => "sizes::a_layers_size_is_the_same_by_every_way_of_asking";
    /// A diff has every folder with the default mode.
    DiffResetsModes "diff_resets_modes" => "committing::permissions_of_folders_outlive_the_commit";
    /// A diff has every file as root's.
    DiffForgetsOwners "diff_forgets_owners" => "committing::an_owner_changed_stays_changed";
    /// A diff has times in whole seconds.
    DiffTruncatesTimes "diff_truncates_times" => "changing::changes_and_diff_of_a_container_say_what_was_done";
    /// A diff has zeros where a file has a hole.
    DiffFillsHoles "diff_fills_holes" => "changing::holes_made_in_a_container_are_kept";
    /// Changes list the root.
    ChangesListRoot "changes_list_root" => "changing::metadata_alone_is_a_change_and_the_root_is_not_forgotten";
    /// An error of the visitor of changes is not answered.
    VisitorIgnored "visitor_ignored" => "lists::the_visitors_error_ends_the_walk";
    /// The content that recipes are rebuilt from is not there.
    ContentsEmpty "contents_empty" => "basic::without_a_mount_the_content_is_there";
    /// The list of layers lacks one.
    LayersForget "layers_forget" => "applying::a_layer_is_applied_once_and_removed_as_often_as_one_likes";
}

impl Fault {
    /// The fault of a name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().chain([&Self::None]).copied().find(|fault| fault.name() == name)
    }
}
